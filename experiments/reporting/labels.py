"""What readers call the things that results name: methods, systems, cells, ways to train."""

from experiments.harness import methods

LABELS = {
    **methods.LABELS,
    "quasi_deer_diagonal": "quasi-DEER with the approximate gradient",
    "quasi_deer_warm": "quasi-DEER with a warm start",
    "argru": "AR GRU",
    "lorenz96": "Lorenz96",
    "elman": "Elman",
    "gru": "GRU",
    "lem": "LEM",
    "lstm": "LSTM",
    "slstm": "sLSTM",
}
# In the table of trained classifiers, where a column is narrow.
TRAININGS = {
    **methods.LABELS,
    "majority": "most frequent class",
    "linear_probe": "linear probe",
    "deer_diagonal": "DEER, diagonal gradient",
    "quasi_deer_diagonal": "quasi-DEER, diagonal gradient",
    "quasi_deer_warm": "quasi-DEER, warm start",
}


def label(name: str) -> str:
    """What readers call a method or a system."""
    return LABELS.get(name, name.replace("_", " "))
