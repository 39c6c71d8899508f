import { KafkaJsTransport } from "@effect-ktables/kafkajs"
import { KafkaTransportContract } from "@effect-ktables/testing"

KafkaTransportContract.suite("kafkajs", KafkaJsTransport.make)
