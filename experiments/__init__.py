"""The experiments of the pipeline: one module an experiment, and what they share.

An experiment module is pure functions plus a small command line. It writes a
tidy CSV and, beside it, a JSON record of how the numbers came about. The solver
package ``parallel_rnn`` never imports anything from here.
"""
