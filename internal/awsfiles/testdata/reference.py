"""Prints what botocore makes of each file of corpus, as JSON: the sections of the
config file, or null where it refuses the file. Its output is reference.json."""

import json
import pathlib

import botocore.configloader
import botocore.exceptions

found = {}
for path in sorted((pathlib.Path(__file__).parent / "corpus").glob("*.ini")):
    try:
        found[path.stem] = botocore.configloader.load_config(str(path))
    except botocore.exceptions.ConfigParseError:
        found[path.stem] = None
print(json.dumps(found, indent=1, sort_keys=True))
