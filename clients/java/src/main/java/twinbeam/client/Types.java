package twinbeam.client;

import com.fasterxml.jackson.databind.JsonNode;
import java.io.IOException;
import java.io.UncheckedIOException;
import java.math.BigDecimal;
import java.time.Instant;
import java.time.LocalDate;
import java.util.ArrayList;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.function.Function;

/** Readers of values by the texts of their types, as in {@code list<float64>}. */
final class Types {
    private Types() {}

    /** Makes a value of what JSON has for it, which is not null. */
    interface Reader {
        Object read(JsonNode node) throws IOException;
    }

    static Object read(Reader reader, JsonNode node) {
        try {
            return node == null || node.isNull() ? null : reader.read(node);
        } catch (IOException error) {
            throw new UncheckedIOException(error);
        }
    }

    /** Reader of a type; null for what has no declared type. */
    static Reader reader(String type) {
        if (type == null) {
            return node -> Json.MAPPER.treeToValue(node, Object.class);
        }
        String inner = type.substring(type.indexOf('<') + 1, type.length() - 1);
        if (type.startsWith("list<")) {
            return list(reader(inner));
        }
        if (type.startsWith("map<")) {
            Reader item = reader(parts(inner).get(1));
            return members(name -> item);
        }
        if (type.startsWith("struct<")) {
            Map<String, Reader> of = new LinkedHashMap<>();
            for (String part : parts(inner)) {
                int colon = part.indexOf(':');
                of.put(part.substring(0, colon), reader(part.substring(colon + 1)));
            }
            return members(of::get);
        }
        if (type.startsWith("decimal(")) {
            return node -> new BigDecimal(node.asText());
        }
        return switch (type) {
            case "bool" -> JsonNode::booleanValue;
            case "int8", "int16", "int32", "int64" -> JsonNode::longValue;
            case "float32", "float64" -> node -> node.isTextual() ? Double.valueOf(node.textValue()) : node.doubleValue();
            case "string" -> JsonNode::textValue;
            case "bytes" -> JsonNode::binaryValue;
            case "timestamp" -> node -> Instant.parse(node.textValue());
            case "date" -> node -> LocalDate.parse(node.textValue());
            default -> reader(null);
        };
    }

    private static Reader list(Reader item) {
        return node -> {
            List<Object> found = new ArrayList<>(node.size());
            node.forEach(each -> found.add(read(item, each)));
            return found;
        };
    }

    private static Reader members(Function<String, Reader> of) {
        return node -> {
            Map<String, Object> found = new LinkedHashMap<>();
            node.properties().forEach(member -> found.put(member.getKey(), read(of.apply(member.getKey()), member.getValue())));
            return found;
        };
    }

    /** Parts of a type's text at the commas outside all brackets. */
    private static List<String> parts(String text) {
        List<String> found = new ArrayList<>();
        int depth = 0;
        int start = 0;
        for (int at = 0; at < text.length(); at++) {
            char letter = text.charAt(at);
            if (letter == '<' || letter == '(') {
                depth++;
            } else if (letter == '>' || letter == ')') {
                depth--;
            } else if (letter == ',' && depth == 0) {
                found.add(text.substring(start, at));
                start = at + 1;
            }
        }
        found.add(text.substring(start));
        return found;
    }
}
