def run(input_data, context=None):
    return {"message": "Hello, " + input_data["name"] + "!", "seen": len(input_data["text"])}


if __name__ == "__main__":
    import json

    print(json.dumps(run({"name": "World", "text": ""})))
