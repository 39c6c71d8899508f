import { KafkaJsClient } from "@effect-ktables/kafkajs"
import { Config, Schema } from "effect"
import { GroupedKafkaTable, GroupedKafkaTableWriter, TableTopic } from "effect-ktables"

/** Who is in which room, and what they say of themselves. Each person in a room is an entry of their own. */
export const rooms = TableTopic.grouped({
  name: process.env["TOPIC"] ?? "example.rooms",
  group: Schema.String,
  member: Schema.String,
  value: Schema.Struct({ mood: Schema.String }),
  partitions: 3
})

const ensureTopic = { create: true }

export class Rooms extends GroupedKafkaTable.Service<Rooms>()("rooms/Rooms", rooms) {
  static readonly created = Rooms.layerWith({ ensureTopic })
}

export class RoomsWriter extends GroupedKafkaTableWriter.Service<RoomsWriter>()("rooms/Writer", rooms) {
  // How long somebody who leaves waits for a cluster that does not answer.
  static readonly impatient = RoomsWriter.layerWith({ ensureTopic, deliveryTimeout: "5 seconds" })
}

export const kafka = KafkaJsClient.layerConfig({
  brokers: Config.String("KAFKA_BROKERS").pipe(Config.withDefault("localhost:9092"))
})

/** A room in one line. */
export const shown = (room: string, people: Iterable<readonly [string, { readonly mood: string }]>): string => {
  const names = Array.from(people, ([name, { mood }]) => `${name} (${mood})`)
  return `${room}: ${names.sort().join(", ") || "nobody"}`
}
