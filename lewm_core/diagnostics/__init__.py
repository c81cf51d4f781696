"""What is measured on finished models."""
