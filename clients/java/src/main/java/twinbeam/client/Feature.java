package twinbeam.client;

import com.fasterxml.jackson.annotation.JsonProperty;
import java.util.List;
import java.util.Map;

/**
 * One feature of the registry.
 *
 * @param address {@code view:feature}
 * @param kind aggregate, latest, derived, on_demand or encoded
 * @param type text of its type
 * @param entity name of the entity, or empty
 * @param keys names of the entity's keys
 * @param window text of its window, or empty
 * @param owner of the view
 * @param tags of the view
 * @param description of the feature, or else of its view
 * @param defaultValue stands for null, as JSON has it; or null
 * @param fingerprint of the feature
 * @param roles other names of its view
 * @param upstream what it is made of
 * @param downstream what is made of it
 * @param online whether it is read online
 */
public record Feature(
        String address,
        String kind,
        String type,
        String entity,
        List<String> keys,
        String window,
        String owner,
        Map<String, String> tags,
        String description,
        @JsonProperty("default") Object defaultValue,
        String fingerprint,
        List<String> roles,
        List<String> upstream,
        List<String> downstream,
        boolean online) {}
