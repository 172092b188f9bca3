package twinbeam.client;

import com.fasterxml.jackson.annotation.JsonProperty;
import com.fasterxml.jackson.databind.JsonNode;
import java.time.Instant;
import java.util.List;
import java.util.Map;

/** Features as the server answers them, by the column. */
record Answer(
        Map<String, List<JsonNode>> values,
        Map<String, List<Status>> statuses,
        @JsonProperty("event_times") Map<String, List<Instant>> eventTimes,
        @JsonProperty("as_of") List<Instant> asOf,
        String fingerprint,
        Map<String, String> types) {}
