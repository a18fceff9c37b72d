"""Start the batch-scoring client on a Python newer than it was written for.

The client dates from Python 3.4 and needs two things that later releases
removed. They are put back from outside; the client's own files stay as they
were published.
"""

import builtins
import collections
import collections.abc
import sys

# Its dependency trafaret takes Mapping from here; Python 3.10 moved the last of these names away.
for name in collections.abc.__all__:
    if not hasattr(collections, name):
        setattr(collections, name, getattr(collections.abc, name))

# "U" has meant nothing since Python 3.0, and 3.11 refuses it.
open_file = builtins.open
builtins.open = lambda file, mode="r", *rest, **named: open_file(
    file, mode.replace("U", ""), *rest, **named
)

from datarobot_batch_scoring.main import main_deployment_aware  # noqa: E402, needs the names above

if __name__ == "__main__":
    sys.exit(main_deployment_aware())
