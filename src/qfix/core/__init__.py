"""The equations of reinforcement learning, each written once and run by every backend."""
