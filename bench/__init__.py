"""fastnn against what one would use instead: every result is compared first, then timed in turn.

`python -m bench --help` tells the commands. A *problem* says what is computed and on which inputs; a *case*
gives it a name; a *peer* is one library, whose adapter turns problems into *tasks*, the calls that are timed.
"""

BASELINE = "fastnn-cython"  # every ratio is a peer's time divided by this one's
