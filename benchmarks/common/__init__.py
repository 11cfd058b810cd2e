"""Code shared by the benchmarks: measuring in a separate process, and counting arithmetic."""
