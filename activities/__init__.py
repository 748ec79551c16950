"""Do: one retryable step each. What is lost here is tried again by Temporal; nothing here decides."""
