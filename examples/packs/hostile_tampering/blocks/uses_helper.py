"""Imports a module beside which a forged `__pycache__` may lie."""
import helper


def run(input_data, context):
    import sys
    return {"helper": helper.WHO, "ran_by_itself": sorted(name for name in sys.modules if "sitecustom" in name or "usercustom" in name)}
