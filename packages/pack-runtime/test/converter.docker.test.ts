import { converterSuite } from "./converter-suite.ts";

converterSuite("docker");
