import { KafkaJsClient } from "@effect-ktables/kafkajs"
import { Schema } from "effect"
import { TableTopic } from "effect-ktables"

export class Contact extends Schema.Class<Contact>("Contact")({
  email: Schema.String,
  phone: Schema.optionalKey(Schema.String)
}) {}

export const contacts = TableTopic.make({
  name: process.env["TOPIC"] ?? "example.contacts",
  key: Schema.String,
  value: Contact
})

export const kafka = KafkaJsClient.layer({ brokers: (process.env["KAFKA_BROKERS"] ?? "localhost:9092").split(",") })
