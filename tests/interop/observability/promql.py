"""The metrics and labels that a PromQL expression names. Not a parser: promtool says whether the expression is one."""

import re

WORDS = {"and", "or", "unless", "offset", "bool", "inf", "nan"}
GROUPING = r"\b(?:by|without|on|ignoring|group_left|group_right)\s*\(([^)]*)\)"


def without_strings(expression):
    return re.sub(r"\"(?:[^\"\\]|\\.)*\"|'(?:[^'\\]|\\.)*'", '""', expression)


def metrics(expression):
    """Each metric, with the labels that are matched on it."""
    found, past = {}, 0
    bare = re.sub(GROUPING + r"|\[[^\]]*\]", " ", without_strings(expression))
    for word in re.finditer(r"[a-zA-Z_:][\w:]*", bare):
        rest = bare[word.end() :].lstrip()
        if word.start() < past or word.group() in WORDS or rest.startswith("("):
            continue
        labels = found.setdefault(word.group(), set())
        if rest.startswith("{"):
            matchers = rest[: rest.index("}")]
            past = bare.index("}", word.end())
            labels |= set(re.findall(r"(\w+)\s*[=!]", matchers))
    return found


def grouped(expression):
    """The labels that results are grouped by."""
    lists = re.findall(GROUPING, without_strings(expression))
    return {label.strip() for each in lists for label in each.split(",") if label.strip()}
