package twinbeam.client;

import java.util.Map;

/**
 * Whether the server can answer.
 *
 * @param status "ready" or "not ready"
 * @param reasons what is not, by name
 */
public record Readiness(String status, Map<String, String> reasons) {
    /** No reasons where the server told none. */
    public Readiness {
        reasons = reasons == null ? Map.of() : Map.copyOf(reasons);
    }

    /** Whether it can. */
    public boolean isReady() {
        return status.equals("ready");
    }
}
