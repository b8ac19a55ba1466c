# To be read by sh in the folder of a packed repository: where Python finds the repository and the
# packages that the machine lacks, and where JAX keeps compiled programs for the next run.
export PYTHONPATH="$PWD:$PWD/src:$PWD/packages${PYTHONPATH:+:$PYTHONPATH}"
export JAX_COMPILATION_CACHE_DIR="${JAX_COMPILATION_CACHE_DIR:-$PWD/compiled}"
export JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS="${JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS:-0}"
export GIT_PYTHON_REFRESH=quiet # Snakemake imports GitPython, which else wants git itself
