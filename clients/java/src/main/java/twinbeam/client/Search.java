package twinbeam.client;

/**
 * What features are looked for.
 *
 * @param words all of which a feature holds in address, description, owner, tags, entity or sources
 * @param entity name of the entity, or null
 * @param owner of the view, or null
 * @param tag NAME=VALUE, or null
 * @param limit how many to show at most, or null
 */
public record Search(String words, String entity, String owner, String tag, Integer limit) {
    /** Features that hold every word. */
    public static Search of(String words) {
        return new Search(words, null, null, null, null);
    }

    /** Those of an entity. */
    public Search entity(String name) {
        return new Search(words, name, owner, tag, limit);
    }

    /** Those of an owner. */
    public Search owner(String name) {
        return new Search(words, entity, name, tag, limit);
    }

    /** Those of a tag, NAME=VALUE. */
    public Search tag(String text) {
        return new Search(words, entity, owner, text, limit);
    }

    /** So many at most. */
    public Search limit(int most) {
        return new Search(words, entity, owner, tag, most);
    }
}
