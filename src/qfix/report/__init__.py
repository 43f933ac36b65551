"""What a run has come to, for people: tables and figures. It reads runs and writes pictures, nothing else."""
