package twinbeam.client;

import java.time.Instant;
import java.util.ArrayList;
import java.util.Collections;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;

/**
 * What is read: features of entities, keys and request values by the column.
 *
 * @param features a service, a view, or {@code view:feature} addresses
 * @param keys columns of keys; request values may stand among them
 * @param request columns of values that on-demand features ask for
 * @param now ISO 8601 text, "latest" for the newest event, or null for the server's clock
 * @param fingerprint of the training set of the model that asks, or null
 */
public record Read(
        List<String> features, Map<String, List<?>> keys, Map<String, List<?>> request, String now, String fingerprint) {
    /** The columns are copied. */
    public Read {
        features = List.copyOf(features);
        keys = copy(keys);
        request = copy(request);
    }

    /** A service, a view, or addresses. */
    public static Read of(String... features) {
        return new Read(List.of(features), Map.of(), Map.of(), null, null);
    }

    /** A column of keys; values may be null. */
    public Read keys(String name, List<?> values) {
        return new Read(features, with(keys, name, values), request, now, fingerprint);
    }

    /** A column of request values; values may be null. */
    public Read request(String name, List<?> values) {
        return new Read(features, keys, with(request, name, values), now, fingerprint);
    }

    /** As of an instant. */
    public Read now(Instant instant) {
        return new Read(features, keys, request, instant.toString(), fingerprint);
    }

    /** As of the newest event. */
    public Read latest() {
        return new Read(features, keys, request, "latest", fingerprint);
    }

    /** Refused with {@link Problem.DefinitionChanged} if definitions are others now. */
    public Read fingerprint(String ofTraining) {
        return new Read(features, keys, request, now, ofTraining);
    }

    /** This in parts of so many rows at most. */
    List<Read> chunks(int size) {
        int rows = keys.values().stream().findFirst().map(List::size).orElse(0);
        if (rows <= size) {
            return List.of(this);
        }
        List<Read> found = new ArrayList<>();
        for (int start = 0; start < rows; start += size) {
            int end = Math.min(rows, start + size);
            found.add(new Read(features, cut(keys, start, end, rows), cut(request, start, end, rows), now, fingerprint));
        }
        return found;
    }

    private static Map<String, List<?>> cut(Map<String, List<?>> columns, int start, int end, int rows) {
        Map<String, List<?>> found = new LinkedHashMap<>();
        columns.forEach((name, column) -> {
            if (column.size() != rows) {
                throw new IllegalArgumentException(name + " has " + column.size() + " values for " + rows + " rows");
            }
            found.put(name, column.subList(start, end));
        });
        return found;
    }

    private static Map<String, List<?>> with(Map<String, List<?>> columns, String name, List<?> values) {
        Map<String, List<?>> found = new LinkedHashMap<>(columns);
        found.put(name, values);
        return found;
    }

    private static Map<String, List<?>> copy(Map<String, List<?>> columns) {
        Map<String, List<?>> found = new LinkedHashMap<>();
        columns.forEach((name, column) -> found.put(name, Collections.unmodifiableList(new ArrayList<Object>(column))));
        return Collections.unmodifiableMap(found);
    }
}
