import { KafkaClientContract } from "@effect-ktables/testing"
import { Layer } from "effect"
import * as MemoryKafka from "effect-ktables/MemoryKafka"

KafkaClientContract.suite("MemoryKafka", KafkaClientContract.memoryAdmin.pipe(Layer.provideMerge(MemoryKafka.layer)))
