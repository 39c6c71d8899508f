import { PlatformaticTransport } from "@effect-ktables/platformatic"
import { KafkaTransportContract } from "@effect-ktables/testing"

KafkaTransportContract.suite("platformatic", PlatformaticTransport.make)
