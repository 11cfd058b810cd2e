"""What the benchmarks share: measuring in a process of its own, counting arithmetic."""
