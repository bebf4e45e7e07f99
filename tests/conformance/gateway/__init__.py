"""Is this server a drop-in OpenAI endpoint? Asked from outside, of any base URL.

    python -m tests.conformance.gateway --base-url http://127.0.0.1:8000/v1 --model NAME

The suite looks at a gateway from both sides: it is the client, and where the gateway can be
pointed at ``--upstream-port`` of this machine it is also the model server behind it, which sees
what arrives, counts open calls and fails on cue. Without that side, cases that need it are not
judged. Every case stands for something that a client relies on and that some gateway gets wrong.

    case.py       a case, and what it is given: a `Desk` with the client, the upstream, the target
    client.py     requests and streams as they come off the wire, nothing smoothed over
    cases/        the cases, a file for each kind of promise
    run.py        runs them in order and judges
    report.py     the table, the JSON
    peers.py      starts other gateways and runs the suite against each (`peers.sh` installs them)
"""
