"""What schemathesis has to be told of bodies: CSV has several names."""

import schemathesis

schemathesis.serializer.alias("application/csv", "text/csv")
