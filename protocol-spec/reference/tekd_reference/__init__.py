"""A client of the tekd protocol, version 1, written from the pages of `protocol-spec` alone.

One module per chapter; the numbers in the docstrings are clauses.

    frame       1    header, TLVs, results, cookies
    operations  2    questions and answers
    release     3.1  schemas, coarsening, horizon, bucket tree
    log         3.4  the log of checkpoints
    trust       3.4  signatures, checkpoint, delegation, trust, what a client accepts (4.1)
    manifest    3.6  the manifest
    delta       3.8  deltas and fulls, both ways
    transport   1.5  UDP and TLS, waiting and retrying (4.5)
    client      4    what a client does with all of this
"""
