import { libSuite } from "./lib-suite.ts";

libSuite("bubblewrap");
