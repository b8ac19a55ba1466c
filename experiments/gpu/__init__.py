"""Programs compiled for GPUs that need not be there: memory and kernels."""
