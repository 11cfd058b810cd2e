"""Training: settings, batches and optimiser steps, the loop with its validation, and checkpoints."""
