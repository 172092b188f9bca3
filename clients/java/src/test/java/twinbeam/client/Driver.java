package twinbeam.client;

import com.fasterxml.jackson.annotation.JsonProperty;
import java.io.BufferedReader;
import java.io.IOException;
import java.io.InputStreamReader;
import java.lang.reflect.RecordComponent;
import java.math.BigDecimal;
import java.nio.charset.StandardCharsets;
import java.nio.file.Path;
import java.time.Duration;
import java.time.Instant;
import java.util.ArrayList;
import java.util.HexFormat;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.function.Function;
import java.util.function.UnaryOperator;

/** Does what lines of JSON on standard input ask for, and prints what came of each: how the tests drive this client. */
final class Driver {
    private Driver() {}

    /** What each line asks for. */
    record Command(String url, Map<String, Object> options, String call, List<Object> arguments) {}

    private static final Map<String, Class<? extends Record>> WIRE = Map.of(
            "FeatureRequest", Question.class,
            "FeatureAnswer", Answer.class,
            "Pushed", Pushed.class,
            "Found", Found.class,
            "Feature", Feature.class,
            "Readiness", Readiness.class,
            "Problem", Problem.Details.class);

    public static void main(String[] words) throws IOException {
        BufferedReader lines = new BufferedReader(new InputStreamReader(System.in, StandardCharsets.UTF_8));
        for (String line = lines.readLine(); line != null; line = lines.readLine()) {
            Map<String, Object> answer = new LinkedHashMap<>();
            try {
                answer.put("result", done(Json.MAPPER.readValue(line, Command.class)));
            } catch (RuntimeException error) {
                answer.put("error", error.getClass().getSimpleName());
                answer.put("message", String.valueOf(error.getMessage()));
                if (error instanceof Problem problem) {
                    answer.putAll(details(problem));
                }
            }
            System.out.write((Json.MAPPER.writeValueAsString(answer) + "\n").getBytes(StandardCharsets.UTF_8));
            System.out.flush();
        }
    }

    private static Object done(Command command) {
        Client client = client(command);
        List<Object> given = new ArrayList<>();
        command.arguments().forEach(argument -> given.add(unpacked(argument)));
        switch (command.call()) {
            case "get":
                Features found = client.get(read(given));
                Features later = client.getAsync(read(given)).join();
                if (!packed(found.rows()).equals(packed(later.rows()))) {
                    throw new IllegalStateException("get and getAsync differ");
                }
                return columns(found);
            case "gets":
                int rows = 0;
                for (int number = 0; number < ((Number) given.get(2)).intValue(); number++) {
                    rows = client.get(read(given.subList(0, 2))).size();
                }
                return rows;
            case "push":
                List<Map<String, Object>> events = new ArrayList<>();
                ((List<?>) given.get(1)).forEach(event -> events.add(object(event)));
                String source = (String) given.get(0);
                Object wait = given.size() < 3 ? null : object(given.get(2)).get("wait");
                return wait == null
                        ? client.push(source, events)
                        : client.push(source, events, Duration.ofMillis(((Number) wait).longValue()));
            case "search":
                Search search = Search.of((String) given.get(0));
                Map<String, Object> among = given.size() < 2 ? Map.of() : object(given.get(1));
                search = set(search, (String) among.get("tag"), search::tag);
                search = set(search, (String) among.get("owner"), search::owner);
                return client.search(among.containsKey("limit") ? search.limit((Integer) among.get("limit")) : search);
            case "feature":
                return client.feature((String) given.get(0));
            case "ready":
                return client.ready();
            case "members":
                return members();
            default:
                throw new IllegalArgumentException("there is no call " + command.call());
        }
    }

    private static <T> Search set(Search search, T value, Function<T, Search> with) {
        return value == null ? search : with.apply(value);
    }

    private static Client client(Command command) {
        Client.Builder builder = Client.builder(command.url());
        command.options().forEach((name, value) -> {
            UnaryOperator<Client.Builder> set =
                    switch (name) {
                        case "key" -> each -> each.key((String) value);
                        case "deadline" -> each -> each.deadline(Duration.ofMillis((Integer) value));
                        case "attempts" -> each -> each.attempts((Integer) value);
                        case "backoff" -> each -> each.backoff(Duration.ofMillis((Integer) value));
                        case "chunk" -> each -> each.chunk((Integer) value);
                        case "ca" -> each -> each.ca(Path.of((String) value));
                        default -> throw new IllegalArgumentException("there is no option " + name);
                    };
            set.apply(builder);
        });
        return builder.build();
    }

    private static Read read(List<Object> given) {
        Read read = given.get(0) instanceof List<?> names
                ? Read.of(names.toArray(String[]::new))
                : Read.of((String) given.get(0));
        for (Map.Entry<String, Object> column : object(given.get(1)).entrySet()) {
            read = read.keys(column.getKey(), (List<?>) column.getValue());
        }
        Map<String, Object> others = given.size() < 3 ? Map.of() : object(given.get(2));
        for (Map.Entry<String, Object> column : object(others.getOrDefault("request", Map.of())).entrySet()) {
            read = read.request(column.getKey(), (List<?>) column.getValue());
        }
        if (others.get("now") instanceof Instant instant) {
            read = read.now(instant);
        } else if ("latest".equals(others.get("now"))) {
            read = read.latest();
        }
        return others.get("fingerprint") instanceof String text ? read.fingerprint(text) : read;
    }

    private static Map<String, Object> columns(Features found) {
        Map<String, Object> answer = new LinkedHashMap<>();
        answer.put("values", packed(found.values()));
        answer.put("statuses", found.statuses());
        answer.put("event_times", found.eventTimes());
        answer.put("as_of", found.asOf());
        answer.put("fingerprint", found.fingerprint());
        answer.put("types", found.types());
        List<Object> rows = new ArrayList<>();
        found.rows().forEach(row -> rows.add(packed(new ArrayList<>(row.values()))));
        answer.put("rows", rows);
        return answer;
    }

    private static Map<String, Object> details(Problem problem) {
        Map<String, Object> told = new LinkedHashMap<>();
        told.put("status", problem.status());
        told.put("where", problem.details().where());
        told.put("legal", problem.details().legal());
        told.put("hint", problem.details().hint());
        told.put("errors", problem.details().errors());
        told.put("events", problem.details().events());
        told.put("lanes", problem.details().lanes());
        problem.retryAfter().ifPresent(seconds -> told.put("retryAfter", seconds));
        return told;
    }

    /** Members of JSON that the records stand for, with the kinds of JSON that they are read from. */
    private static Map<String, Map<String, String>> members() {
        Map<String, Map<String, String>> found = new LinkedHashMap<>();
        WIRE.forEach((schema, kind) -> {
            Map<String, String> of = new LinkedHashMap<>();
            for (RecordComponent part : kind.getRecordComponents()) {
                JsonProperty named = part.getAccessor().getAnnotation(JsonProperty.class);
                of.put(named == null ? part.getName() : named.value(), json(part.getType()));
            }
            found.put(schema, of);
        });
        return found;
    }

    private static String json(Class<?> kind) {
        if (kind == String.class) {
            return "string";
        }
        if (kind == int.class || kind == Integer.class) {
            return "integer";
        }
        if (kind == Double.class) {
            return "number";
        }
        if (kind == boolean.class || kind == Boolean.class) {
            return "boolean";
        }
        if (kind == List.class) {
            return "array";
        }
        return kind == Map.class ? "object" : "any";
    }

    /** Values that JSON does not have, as one-membered objects. */
    private static Object unpacked(Object value) {
        if (value instanceof List<?> list) {
            List<Object> found = new ArrayList<>();
            list.forEach(item -> found.add(unpacked(item)));
            return found;
        }
        if (!(value instanceof Map<?, ?> map)) {
            return value;
        }
        if (map.size() == 1) {
            Map.Entry<?, ?> only = map.entrySet().iterator().next();
            String text = String.valueOf(only.getValue());
            switch (String.valueOf(only.getKey())) {
                case "$int":
                    return Long.valueOf(text);
                case "$float":
                    return Double.valueOf(text);
                case "$bytes":
                    return HexFormat.of().parseHex(text);
                case "$time":
                    return Instant.parse(text);
                case "$decimal":
                    return new BigDecimal(text);
                default:
            }
        }
        Map<String, Object> found = new LinkedHashMap<>();
        map.forEach((name, item) -> found.put((String) name, unpacked(item)));
        return found;
    }

    private static Object packed(Object value) {
        if (value instanceof Long number) {
            return Map.of("$int", number.toString());
        }
        if (value instanceof Double number) {
            return Map.of("$number", HexFormat.of().toHexDigits(Double.doubleToLongBits(number)));
        }
        if (value instanceof byte[] bytes) {
            return Map.of("$bytes", HexFormat.of().formatHex(bytes));
        }
        if (value instanceof List<?> list) {
            List<Object> found = new ArrayList<>();
            list.forEach(item -> found.add(packed(item)));
            return found;
        }
        if (value instanceof Map<?, ?> map) {
            Map<String, Object> found = new LinkedHashMap<>();
            map.forEach((name, item) -> found.put((String) name, packed(item)));
            return found;
        }
        return value;
    }

    private static Map<String, Object> object(Object value) {
        Map<String, Object> found = new LinkedHashMap<>();
        ((Map<?, ?>) value).forEach((name, item) -> found.put((String) name, item));
        return found;
    }
}
