/**
 * Ports for brokers and proxies, outside the range that the system gives to outgoing connections: a broker that is
 * killed and started again must find its port still free.
 */
import { randomInt } from "node:crypto"
import * as net from "node:net"

const lowest = 15_000
const highest = 32_000

const isFree = (port: number): Promise<boolean> =>
  new Promise((resolve) => {
    const server = net.createServer()
    server.once("error", () => resolve(false))
    server.listen(port, "127.0.0.1", () => server.close(() => resolve(true)))
  })

/** `count` ports that nobody listens on now. */
export const freePorts = async (count: number): Promise<ReadonlyArray<number>> => {
  const found = new Set<number>()
  while (found.size < count) {
    const port = randomInt(lowest, highest)
    if (!found.has(port) && (await isFree(port))) found.add(port)
  }
  return [...found]
}
