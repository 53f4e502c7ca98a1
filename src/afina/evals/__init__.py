"""What answers are worth: words compared, intervals around means, models side by side. No HTTP, store or torch."""
