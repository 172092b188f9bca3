package twinbeam.client;

import com.fasterxml.jackson.core.JsonGenerator;
import com.fasterxml.jackson.core.JsonParser;
import com.fasterxml.jackson.core.JsonProcessingException;
import com.fasterxml.jackson.core.json.JsonWriteFeature;
import com.fasterxml.jackson.databind.DeserializationContext;
import com.fasterxml.jackson.databind.DeserializationFeature;
import com.fasterxml.jackson.databind.JsonDeserializer;
import com.fasterxml.jackson.databind.JsonSerializer;
import com.fasterxml.jackson.databind.ObjectMapper;
import com.fasterxml.jackson.databind.ObjectWriter;
import com.fasterxml.jackson.databind.SerializerProvider;
import com.fasterxml.jackson.databind.json.JsonMapper;
import com.fasterxml.jackson.databind.module.SimpleModule;
import java.io.IOException;
import java.math.BigDecimal;
import java.time.Instant;
import java.time.LocalDate;
import java.util.List;
import java.util.Map;
import java.util.stream.Collectors;

/** JSON as the server reads and writes it: times and decimals are texts, bytes base64. */
final class Json {
    private Json() {}

    static final ObjectMapper MAPPER = JsonMapper.builder()
            .disable(DeserializationFeature.FAIL_ON_UNKNOWN_PROPERTIES)
            .disable(DeserializationFeature.FAIL_ON_NULL_FOR_PRIMITIVES)
            .addModule(new SimpleModule("twinbeam")
                    .addSerializer(Instant.class, new Text<>())
                    .addSerializer(LocalDate.class, new Text<>())
                    .addSerializer(BigDecimal.class, new Plain())
                    .addDeserializer(Instant.class, new Times()))
            .build();

    /** Of requests of features: numbers beyond the finite are texts. */
    private static final ObjectWriter READS = MAPPER.writer();

    /** Of JSON lines of events: they are bare. */
    private static final ObjectWriter EVENTS = MAPPER.writer().without(JsonWriteFeature.WRITE_NAN_AS_STRINGS);

    static byte[] write(Question question) {
        try {
            return READS.writeValueAsBytes(question);
        } catch (JsonProcessingException error) {
            throw new IllegalArgumentException(error.getOriginalMessage(), error);
        }
    }

    static String lines(List<? extends Map<String, ?>> events) {
        return events.stream().map(Json::line).collect(Collectors.joining("\n"));
    }

    private static String line(Map<String, ?> event) {
        try {
            return EVENTS.writeValueAsString(event);
        } catch (JsonProcessingException error) {
            throw new IllegalArgumentException(error.getOriginalMessage(), error);
        }
    }

    private static final class Text<T> extends JsonSerializer<T> {
        @Override
        public void serialize(T value, JsonGenerator to, SerializerProvider provider) throws IOException {
            to.writeString(value.toString());
        }
    }

    private static final class Plain extends JsonSerializer<BigDecimal> {
        @Override
        public void serialize(BigDecimal value, JsonGenerator to, SerializerProvider provider) throws IOException {
            to.writeString(value.toPlainString());
        }
    }

    private static final class Times extends JsonDeserializer<Instant> {
        @Override
        public Instant deserialize(JsonParser from, DeserializationContext context) throws IOException {
            return Instant.parse(from.getText());
        }
    }
}
