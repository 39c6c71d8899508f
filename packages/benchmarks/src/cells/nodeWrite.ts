/** Node's producers: acknowledged records per second with a number of sends in flight. */
import { Effect } from "effect"
import type { Cell } from "../harness/cells.ts"
import { closedLoop } from "../harness/closedLoop.ts"
import { paddedService } from "../topics/values.ts"
import { type NodeClient, openSender } from "./nodeClients.ts"

export interface Input {
  readonly client: NodeClient
  readonly brokers: ReadonlyArray<string>
  readonly topic: string
  readonly inFlight: number
  readonly seconds: number
}

export const cell: Cell<Input> = ({ client, brokers, topic, inFlight, seconds }) =>
  Effect.promise(async () => {
    const sender = await openSender(client, brokers, topic)
    const measured = await closedLoop({ inFlight, seconds }, (i) =>
      sender.send(`key-${i % 10_000}`, Buffer.from(JSON.stringify(paddedService(i % 10_000, i, 1024))))
    )
    await sender.close()
    return [{ metric: "write", client: `${client} producer`, topic, detail: `${inFlight} in flight`, ...measured }]
  })
