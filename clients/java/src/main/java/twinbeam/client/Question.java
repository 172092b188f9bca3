package twinbeam.client;

import java.util.List;
import java.util.Map;

/** A read as the server takes it. */
record Question(
        List<String> features,
        Map<String, List<?>> keys,
        Map<String, List<?>> request,
        String now,
        String fingerprint,
        List<String> include) {
    static Question of(Read read, String fingerprint) {
        List<String> include = List.of("statuses", "event_times", "types");
        return new Question(read.features(), read.keys(), read.request(), read.now(), fingerprint, include);
    }
}
