// The least a server on this stack can do: one GET, one POST that parses JSON. Prints its port.
import { serve } from "@hono/node-server";
import { Hono } from "hono";

const app = new Hono();
app.get("/health", (c) => c.json({ success: true, data: { status: "ok" }, error: null, code: null }));
app.post("/run", async (c) => {
  const body: unknown = await c.req.json();
  return c.json({ success: true, data: body, error: null, code: null });
});
serve({ fetch: app.fetch, hostname: "127.0.0.1", port: 0 }, ({ port }) => console.log(port));
