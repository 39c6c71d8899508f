import { KafkaJsClient } from "@effect-ktables/kafkajs"
import { ClientLayerContract } from "@effect-ktables/testing"

ClientLayerContract.suite("kafkajs", KafkaJsClient)
