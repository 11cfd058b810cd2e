"""One page per pair: metrics, curves, facts of the stages, examples."""
