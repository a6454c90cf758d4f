import { gatewaySuite } from "./gateway-suite.ts";

gatewaySuite("docker");
