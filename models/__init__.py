"""What is sent and what is stored: messages, tables, and set-based reads and writes."""
