import { PlatformaticClient } from "@effect-ktables/platformatic"
import { ClientLayerContract } from "@effect-ktables/testing"

ClientLayerContract.suite("platformatic", PlatformaticClient)
