"""Training: settings, batches and optimiser steps, the training loop with validation, and checkpoints."""
