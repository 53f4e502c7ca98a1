// The whole story by OpenAI's own client: a file, a job, its events, and a chat with what came of it.
import assert from "node:assert/strict";
import OpenAI, { toFile } from "openai";

const client = new OpenAI(); // OPENAI_BASE_URL and OPENAI_API_KEY say where
const names = ["Ana", "Berta", "Carla", "Dora", "Elena", "Flora", "Gema", "Hilda", "Irene", "Julia"];
const rows = names.map((name, number) => ({
  messages: [
    { role: "user", content: `Who is number ${number}?` },
    { role: "assistant", content: `${name} is number ${number}.` },
  ],
}));
const content = rows.map((row) => JSON.stringify(row) + "\n").join("");

const file = await client.files.create({ file: await toFile(Buffer.from(content), "rows.jsonl"), purpose: "fine-tune" });
assert.equal(await (await client.files.content(file.id)).text(), content);

let job = await client.fineTuning.jobs.create({
  model: "afina-tiny",
  training_file: file.id,
  method: { type: "supervised", supervised: { hyperparameters: { n_epochs: 1, batch_size: 5 } } },
});
assert.equal(job.status, "validating_files");
const ended = ["succeeded", "failed", "cancelled"];
while (!ended.includes(job.status)) {
  await new Promise((resolve) => setTimeout(resolve, 200));
  job = await client.fineTuning.jobs.retrieve(job.id);
}
assert.equal(job.status, "succeeded", JSON.stringify(job.error));

const events = [];
for await (const event of client.fineTuning.jobs.listEvents(job.id, { limit: 3 })) events.unshift(event);
assert.equal(events[0].message, `Created fine-tuning job: ${job.id}`);
assert.equal(events.at(-1).message, "The job has successfully completed");
assert.deepEqual(events.filter((event) => event.type === "metrics").map((event) => event.data.step), [1, 2]);

const asked = { model: job.fine_tuned_model, messages: rows[3].messages.slice(0, 1), temperature: 0, max_tokens: 8 };
const whole = await client.chat.completions.create(asked);
assert.equal(whole.model, job.fine_tuned_model);
let streamed = "";
for await (const chunk of await client.chat.completions.create({ ...asked, stream: true })) {
  streamed += chunk.choices[0]?.delta.content ?? "";
}
assert.equal(streamed, whole.choices[0].message.content);

await client.models.delete(job.fine_tuned_model);
await assert.rejects(client.models.retrieve(job.fine_tuned_model), OpenAI.NotFoundError);
console.log(JSON.stringify({ job: job.id, model: job.fine_tuned_model }));
