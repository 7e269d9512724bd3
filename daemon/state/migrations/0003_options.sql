-- "wish" is called "options" now
UPDATE launches SET request = json_remove(json_set(request, '$.options', json_extract(request, '$.wish')), '$.wish')
    WHERE json_valid(request) AND json_extract(request, '$.wish') IS NOT NULL;
UPDATE pulls SET body = json_remove(json_set(body, '$.options', json_extract(body, '$.wish')), '$.wish')
    WHERE json_valid(body) AND json_extract(body, '$.wish') IS NOT NULL;
