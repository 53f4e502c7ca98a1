"""The server: one router per OpenAI resource. Writes what is wanted; never trains, never waits for a job."""
