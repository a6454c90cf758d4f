"""Calls each permission it is told to and answers what came back, without the time that it took."""
import rumi_capability


def run(input_data, context):
    answers = []
    for permission, args in input_data["asks"]:
        answer = rumi_capability.call(permission, args, 10)
        answer.pop("latency_ms", None)
        answers.append(answer)
    return answers
