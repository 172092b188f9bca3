package twinbeam.client;

import java.time.Instant;
import java.util.ArrayList;
import java.util.Collections;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.function.Function;

/**
 * Features of n rows of keys, in the order of the keys.
 *
 * <p>Integers are {@link Long}, floats {@link Double}, bytes {@code byte[]}, decimals {@link java.math.BigDecimal},
 * timestamps {@link Instant}, dates {@link java.time.LocalDate}; lists are {@link List}, maps and structs {@link Map}.
 *
 * @param values by name: keys and request values first, then features by address
 * @param statuses by address
 * @param eventTimes newest event time that counted in every value, by address; null where no event did
 * @param asOf instant that each row is as of
 * @param fingerprint of the definitions of all the features
 * @param types texts of the types, by the names of the values
 */
public record Features(
        Map<String, List<Object>> values,
        Map<String, List<Status>> statuses,
        Map<String, List<Instant>> eventTimes,
        List<Instant> asOf,
        String fingerprint,
        Map<String, String> types) {

    /**
     * One value with what is known about it.
     *
     * @param value may be null
     * @param status why it is what it is
     * @param eventTime newest event time that counted, or null
     */
    public record Cell(Object value, Status status, Instant eventTime) {}

    /** How many rows there are. */
    public int size() {
        return asOf.size();
    }

    /** One value with its status and event time. */
    public Cell cell(String address, int row) {
        if (!statuses.containsKey(address)) {
            throw new IllegalArgumentException("there is no " + address + " among " + statuses.keySet());
        }
        return new Cell(
                values.get(address).get(row), statuses.get(address).get(row), eventTimes.get(address).get(row));
    }

    /**
     * One column, whose values are of one type.
     *
     * @throws ClassCastException a value is of another
     */
    public <T> List<T> column(String name, Class<T> type) {
        if (!values.containsKey(name)) {
            throw new IllegalArgumentException("there is no " + name + " among " + values.keySet());
        }
        List<T> found = new ArrayList<>();
        values.get(name).forEach(value -> found.add(type.cast(value)));
        return Collections.unmodifiableList(found);
    }

    /** The values by the row. */
    public List<Map<String, Object>> rows() {
        List<Map<String, Object>> found = new ArrayList<>();
        for (int row = 0; row < size(); row++) {
            Map<String, Object> one = new LinkedHashMap<>();
            for (Map.Entry<String, List<Object>> column : values.entrySet()) {
                one.put(column.getKey(), column.getValue().get(row));
            }
            found.add(one);
        }
        return found;
    }

    /** Features of the answers to parts of one request, one after the other. */
    static Features of(List<Answer> answers) {
        Answer first = answers.get(0);
        Map<String, List<Object>> values = new LinkedHashMap<>();
        joined(answers, Answer::values).forEach((name, column) -> {
            Types.Reader reader = Types.reader(first.types().get(name));
            List<Object> read = new ArrayList<>(column.size());
            column.forEach(node -> read.add(Types.read(reader, node)));
            values.put(name, Collections.unmodifiableList(read));
        });
        List<Instant> asOf = new ArrayList<>();
        answers.forEach(answer -> asOf.addAll(answer.asOf()));
        return new Features(
                Collections.unmodifiableMap(values),
                joined(answers, Answer::statuses),
                joined(answers, Answer::eventTimes),
                Collections.unmodifiableList(asOf),
                first.fingerprint(),
                first.types());
    }

    private static <T> Map<String, List<T>> joined(List<Answer> answers, Function<Answer, Map<String, List<T>>> part) {
        Map<String, List<T>> found = new LinkedHashMap<>();
        for (Answer answer : answers) {
            part.apply(answer).forEach((name, column) -> found.computeIfAbsent(name, key -> new ArrayList<>()).addAll(column));
        }
        found.replaceAll((name, column) -> Collections.unmodifiableList(column));
        return Collections.unmodifiableMap(found);
    }
}
