/** A Fastify server in plain code: everything of Effect that it needs is in `bridge.ts`. */
import { Schema } from "effect"
import Fastify from "fastify"
import { openTable } from "./bridge.ts"
import { Contact, contacts, kafka } from "./contacts.ts"

const table = await openTable(contacts, kafka)
const server = Fastify()

// An instance of a `Schema.Class` has a method `pipe`, and Fastify takes what has one for a stream: send the encoded form.
const encode = Schema.encodeSync(Contact)
const decode = Schema.decodeUnknownPromise(Contact)

server.get<{ Params: { name: string } }>("/contacts/:name", (request, reply) => {
  const found = table.view.get(request.params.name)
  return found === undefined ? reply.code(404).send({ error: "no such contact" }) : reply.send(encode(found))
})

server.put<{ Params: { name: string } }>("/contacts/:name", async (request, reply) => {
  const contact = await decode(request.body).catch((error: unknown) => String(error))
  if (typeof contact === "string") return reply.code(400).send({ error: contact })
  // The next GET has it: `set` resolves once the table shows the write.
  await table.set(request.params.name, contact)
  return reply.code(204).send()
})

server.delete<{ Params: { name: string } }>("/contacts/:name", async (request, reply) => {
  await table.delete(request.params.name)
  return reply.code(204).send()
})

const stop = async () => {
  await server.close()
  await table.close()
}
process.once("SIGTERM", () => void stop())
process.once("SIGINT", () => void stop())

console.log(`listening on ${await server.listen({ port: Number(process.env["PORT"] ?? 3000) })}`)

try {
  for await (const change of table.changes) {
    if (change._tag === "Set") console.log(`${change.key} is reached at ${change.value.email}`)
    else if (change._tag === "Deleted") console.log(`${change.key} is gone`)
  }
  console.log("closed")
} catch (error) {
  // The table has failed for good: it would go on to answer with what it contained last.
  console.error(error)
  process.exitCode = 1
  await stop()
}
