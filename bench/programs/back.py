def run(input_data, context=None):
    return input_data
