"""What every experiment stands on: records, command lines, timing, memory, checkpoints."""
